"""Requests by a clearinghouse's JSON on the 278, in the shape of Availity's Service Reviews 2.0.0."""
