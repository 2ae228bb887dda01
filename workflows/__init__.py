"""What runs durably: the interpreter of a case, and the schedules. Imports the domain only."""

from workflows.authorization import AuthorizationWorkflow

WORKFLOWS = [AuthorizationWorkflow]
"""Every workflow that a worker serves."""
