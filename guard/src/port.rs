//! Which ports a webhook receiver may listen at: 443, and 1024 and above but for well-known services.
//!
//! Whoever speaks HTTP to a database, a broker or a container engine may be understood. The list is of services, not of
//! every assigned port, and the operator's allow list goes before it.

/// Whether any target may use the port over https.
pub(crate) fn is_ordinary(port: u16) -> bool {
    port == 443 || port >= 1024 && SERVICES.binary_search(&port).is_err()
}

/// Ports of services that are no webhook receivers, sorted.
const SERVICES: [u16; 77] = [
    1080,  // SOCKS
    1099,  // Java RMI
    1433,  // SQL Server
    1434,  // SQL Server
    1521,  // Oracle
    1522,  // Oracle
    1883,  // MQTT
    2049,  // NFS
    2181,  // ZooKeeper
    2375,  // Docker
    2376,  // Docker
    2377,  // Docker Swarm
    2379,  // etcd
    2380,  // etcd
    3128,  // HTTP proxies
    3306,  // MySQL
    3389,  // Remote Desktop
    4222,  // NATS
    4369,  // Erlang
    5432,  // PostgreSQL
    5433,  // PostgreSQL
    5671,  // AMQP
    5672,  // AMQP
    5900,  // VNC
    5984,  // CouchDB
    5985,  // WinRM
    5986,  // WinRM
    6000,  // X11
    6222,  // NATS
    6379,  // Redis
    6380,  // Redis
    6432,  // PgBouncer
    6443,  // Kubernetes
    6667,  // IRC
    7000,  // Cassandra
    7001,  // Cassandra
    7473,  // Neo4j
    7474,  // Neo4j
    7687,  // Neo4j
    8086,  // InfluxDB
    8123,  // ClickHouse
    8125,  // StatsD
    8200,  // Vault
    8222,  // NATS
    8300,  // Consul
    8301,  // Consul
    8302,  // Consul
    8500,  // Consul
    8501,  // Consul
    8600,  // Consul
    8883,  // MQTT
    9000,  // FastCGI, ClickHouse
    9042,  // Cassandra
    9090,  // Prometheus
    9092,  // Kafka
    9093,  // Kafka
    9094,  // Kafka
    9160,  // Cassandra
    9200,  // Elasticsearch
    9300,  // Elasticsearch
    9464,  // OpenTelemetry's metrics
    10250, // kubelet
    10255, // kubelet
    10256, // kube-proxy
    11211, // memcached
    15672, // RabbitMQ
    25672, // RabbitMQ
    26257, // CockroachDB
    26379, // Redis Sentinel
    27017, // MongoDB
    27018, // MongoDB
    27019, // MongoDB
    28015, // RethinkDB
    33060, // MySQL
    50051, // gRPC
    61613, // STOMP
    61616, // ActiveMQ
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_are_sorted_so_that_the_search_finds_them() {
        assert!(SERVICES.is_sorted());
        assert!(SERVICES.iter().all(|port| !is_ordinary(*port)));
    }

    #[test]
    fn the_https_port_and_high_ports_are_ordinary_and_low_ports_are_not() {
        for port in [443, 1024, 8080, 8443, 65535] {
            assert!(is_ordinary(port), "{port}");
        }
        for port in [0, 1, 22, 25, 53, 80, 442, 444, 1023] {
            assert!(!is_ordinary(port), "{port}");
        }
    }
}
