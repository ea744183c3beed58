"""The composition root, room by room: the only place where concrete classes of the server are made.

ground (settings, truth, engine, keys) → jobs → nodes → access → listen. server/app.py starts what they return, in order.
"""
