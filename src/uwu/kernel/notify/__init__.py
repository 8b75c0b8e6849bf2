"""Who is told: an outbox in the database, routes by owner, digests, quiet hours, and senders that try again.

``tell`` is called in the transaction of the change. A worker then decides who is told (``routes``) and sends it
(``deliver``); importing this package loads no sender.
"""

from uwu.kernel.notify.notices import SEVERITIES, Notice, mute, soon, tell, unmute

__all__ = ["SEVERITIES", "Notice", "mute", "soon", "tell", "unmute"]
