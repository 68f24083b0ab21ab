"""Probes: questions put to the responses of an evaluation by asking the same weights again.

A larger cap shows what the length cap took away; help with the closing tags tells 'knows it but
will not close' from 'does not know'.
"""
