"""Records of Kafka topics → the store: offsets are committed after the insert, never before."""

from ingest.kafka.receiver import KafkaReceiver

__all__ = ["KafkaReceiver"]
