"""What runs durably: the interpreter of a case, and the schedules. Imports the domain only."""

from workflows.authorization import AuthorizationWorkflow
from workflows.sweep import IntakeSweep, Reconciliation
from workflows.watchman import Watchman

WORKFLOWS = [AuthorizationWorkflow, Watchman, IntakeSweep, Reconciliation]
"""Every workflow that a worker serves."""
