"""The simulated organisation of the demo and the tests: real AWS APIs (moto in server mode), nothing scripted.

uwu never sees the simulator's ledger: what it finds, it finds through the same code as on AWS.
"""

from uwu.sim.judge import Drift, Owners, Posture, Verdict, judge, judge_owners
from uwu.sim.organisation import Organisation, build, write_home
from uwu.sim.server import MotoServer

__all__ = [
    "Drift",
    "MotoServer",
    "Organisation",
    "Owners",
    "Posture",
    "Verdict",
    "build",
    "judge",
    "judge_owners",
    "write_home",
]
