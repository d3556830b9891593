"""``make bench-peers``: Imagemill beside what people would otherwise build, in turns of one run.

Every peer gets the same work from the same closed-loop clients: a request is validated, stored, a picture of
64 x 64 is rendered, encoded as PNG and written to a file, and only then is the request answered.
"""
