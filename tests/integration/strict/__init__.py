"""What RFC 6455 and RFC 9112 demand of the gateway, as tables: `handshakes.py` and `messages.py` are the data.

A row says what a client (and a backend) sends and all that must be seen of it: the answer or the frames, the bytes at
the backend, how each connection ends, the code in the log. To add a case, add a row to its rule; `test_strict.py` runs
each in four ways: plain and TLS, in one piece and one byte at a time. `rows.py` has the words that rows are made of.
"""
