"""AWS calls at the cost of their bytes: compiled decoders, cached requests and signatures, kept connections.

It is spoken through ``uwu.kernel.aws_calls.Caller`` as ``Aws.caller`` gives it: synchronous, and one caller may be used
by many threads. There is no batch interface: to ask faster, ask from more threads (they wait on the network together
and share connections and budgets), and from more processes for more cores. A ``Meter`` tells what calls cost.

``decode`` (``scan``, ``xml``, ``tree``, ``cbor``, ``times``) makes plain data of bytes; ``requests`` and ``sigv4``
make bytes of arguments; ``connections`` carries them; ``budget`` finds the pace that AWS allows; ``client`` ties them
together and takes botocore for what is not spoken here.
"""
