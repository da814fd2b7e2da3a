"""Asks a node as stock clients do: is it well, and what can it be asked?

Usage: clients.py ADDRESS NODE
"""

import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

address, node = sys.argv[1:]
seconds = 20

with grpc.insecure_channel(address) as channel:
    health = health_pb2_grpc.HealthStub(channel)

    def status(service):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    print("node", status(""))
    print("named", status("ringhold.node." + node))
    try:
        status("ringhold.node.nobody")
    except grpc.RpcError as error:
        print("nobody", error.code().name)
    watched = health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=seconds)
    print("watched", health_pb2.HealthCheckResponse.ServingStatus.Name(next(iter(watched)).status))
    watched.cancel()

    database = ProtoReflectionDescriptorDatabase(channel)
    print("services", " ".join(sorted(database.get_services())))
    peer = DescriptorPool(database).FindServiceByName("ringhold.v1.Peer")
    print("methods", " ".join(sorted(method.name for method in peer.methods)))
