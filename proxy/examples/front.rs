//! A bare data path for profiling: `front PORT BACKEND...`
use std::sync::Arc;
use arc_swap::ArcSwap;
use slotway_cluster::{*, topology::*};
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let backends = &args[1..];
    let ranges = SlotRange::equal(backends.len());
    let topology = Topology { version: 1, cluster_id: "c".repeat(40), placement: Placement::default(), proxies: vec![],
        nodes: backends.iter().enumerate().map(|(i, addr)| Node { id: NodeId(format!("n{}", i + 1)), addr: addr.clone(), admin_addr: None }).collect(),
        shards: (0..backends.len()).map(|i| Shard { id: ShardId(i as u32 + 1), kind: Kind::Redis, epoch: Epoch(1), primary: NodeId(format!("n{}", i + 1)), replicas: vec![], slots: vec![ranges[i]] }).collect() };
    let config = slotway_config::ProxyConfig::load(None, std::iter::empty(), vec![("port".into(), args[0].clone()), ("backends".into(), backends.join(",")), ("threads".into(), "1".into())]).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let registry = prometheus::Registry::new();
        let _proxy = slotway_proxy::Proxy::start(&config, Arc::new(ArcSwap::from_pointee(topology)), &registry).unwrap();
        std::future::pending::<()>().await;
    });
}
