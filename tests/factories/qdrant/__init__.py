"""A stand-in for a Qdrant server: its gRPC protocol, in a process of its own, answered by Qdrant's own engine.

What it is: the servicers of `qdrant_client.grpc` over one `qdrant_edge` shard a collection, which is the segment,
index, scoring and write-ahead-log code that the server is built of. Requests and answers really cross a socket; the
process can be killed and started again on its folder; what it does not know it refuses with UNIMPLEMENTED, and what a
server refuses it refuses with the server's status.

What it does not prove: anything between several nodes or shards (replicas, majorities, the order of writes among
them, transfers), since there is one shard whatever was asked for; the server's optimisers (no graph is ever built, no
vector quantised), its limits, strict mode, rights narrower than one key; that the disk has a write, since, as in
the server, only the write-ahead log has it, which outlives a killed process and not a machine without power; nor the
behaviour of any release of the server as such. Such options are kept as they were sent and can be read back from
`PrivateQdrant.received`, so a test can say that they reached the wire, and no more.
"""
