use super::*;

fn guests(engine: &Engine) -> u64 {
    engine.snapshots().read().iter().map(|snapshot| snapshot.engine.guest).sum()
}

/// Lets something go on until there are so many guests. Counters are up to a second old.
fn until_guests(engine: &Engine, wanted: u64, mut meanwhile: impl FnMut()) {
    let begin = Instant::now();
    while guests(engine) != wanted {
        assert!(begin.elapsed() < Duration::from_secs(20), "{} guests", guests(engine));
        meanwhile();
    }
}

fn pause() {
    thread::sleep(Duration::from_millis(20));
}

#[test]
fn calm_shards_share_a_thread_and_part_under_load() {
    let engine = Engine::start(EngineConfig { shards: 3, together_load_percent_max: 1, ..config(&["127.0.0.1:0"]) }, identity()).unwrap().0;
    let server = engine.addresses()[0];
    until_guests(&engine, 2, pause);
    for _ in 0..20 {
        bind_answer(server, Ipv4Addr::LOCALHOST.into());
    }

    // From another address than who asks below: what strangers send is limited by address.
    let flood: Vec<_> = (0..16).map(|_| UdpSocket::bind("127.0.0.2:0").unwrap()).collect();
    let mut message = [0; 100];
    let len = request(&mut message, Method::BINDING, 1, |_| {});
    until_guests(&engine, 0, || {
        for socket in &flood {
            let _ = socket.send_to(&message[..len], server);
        }
    });
    pause();
    bind_answer(server, Ipv4Addr::LOCALHOST.into());

    until_guests(&engine, 2, pause);
    for _ in 0..20 {
        bind_answer(server, Ipv4Addr::LOCALHOST.into());
    }
    let begin = Instant::now();
    engine.stop();
    assert!(begin.elapsed() < Duration::from_secs(1), "guests end at home");
    UdpSocket::bind(server).unwrap();
}

#[test]
fn every_shard_keeps_its_thread_when_told_so() {
    let engine = Engine::start(EngineConfig { together_load_percent_max: 0, ..config(&["127.0.0.1:0"]) }, identity()).unwrap().0;
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(guests(&engine), 0);
}
