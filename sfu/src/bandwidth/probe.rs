//! Short stretches of packets at a higher rate, to find out whether it gets through. The only way to learn that of a path of which
//! only a part is used.

/// Which stretch a packet belonged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterId(u8);

impl ClusterId {
    /// None.
    pub const NONE: Self = Self(0);
}

/// A stretch lasts this long …
const CLUSTER_US: i64 = 25_000;
/// … or until so much was sent, when the rate is low, …
const CLUSTER_BYTES: f64 = 6_000.0;
/// … but not longer than this.
const CLUSTER_MAX_US: i64 = 150_000;
/// Slower ones would hold too few packets to tell anything: a path for a few pictures a second is tried for so much at least.
const RATE_MIN: f64 = 300_000.0;
/// Packets leave in steps of this.
const STEP_US: i64 = 2_000;
/// After the last packet, until a result is given up.
const ANSWER_MAX_US: i64 = 1_000_000;
/// From one probe to the next, after one that succeeded and after some that did not.
const INTERVAL_US: i64 = 1_500_000;
const INTERVAL_MAX_US: i64 = 3_000_000;
/// Each probe is for so many times the estimate: the first, when nothing is known, and later ones, which may fill a queue.
const FIRST: f64 = 3.0;
const FURTHER: f64 = 2.0;
/// Above what is wanted, so that what is wanted fits with room for its bursts.
const ABOVE_WANTED: f64 = 1.25;
/// Feedback on so many of the packets makes a result.
const ANSWERED: f64 = 0.8;
/// What arrives slower than this part of what was sent met the link's capacity; that is then used up to this part.
const SATURATED: f64 = 0.9;
const USED: f64 = 0.95;

#[derive(Clone, Copy, Debug)]
struct Cluster {
    id: ClusterId,
    bps: f64,
    begun_us: i64,
    end_us: i64,
    sent_bytes: f64,
    sent_packets: u32,
    first_sent: i64,
    last_sent: i64,
    first_sent_len: f64,
    answered: u32,
    answered_bytes: f64,
    first_len: f64,
    first_arrived: i64,
    last_arrived: i64,
}

#[derive(Debug)]
pub struct Prober {
    cluster: Option<Cluster>,
    next_id: u8,
    step_us: i64,
    /// The earliest time of the next probe.
    not_before_us: i64,
    interval_us: i64,
    ended_us: i64,
    started: bool,
    /// The last result was the link's capacity, and not what was tried.
    saturated: bool,
}

/// What is known when a probe is thought of.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub now_us: i64,
    pub estimate_bps: f64,
    pub wanted_bps: f64,
}

impl Prober {
    pub const fn new() -> Self {
        Self {
            cluster: None,
            next_id: 1,
            step_us: 0,
            not_before_us: 0,
            interval_us: INTERVAL_US,
            ended_us: i64::MIN / 2,
            started: false,
            saturated: false,
        }
    }

    /// What was learnt of the path is void: the next probe may come at once.
    pub const fn begin_anew(&mut self) {
        (self.not_before_us, self.interval_us, self.started) = (0, INTERVAL_US, false);
    }

    /// The stretch that is being sent.
    pub fn cluster(&self, now_us: i64) -> ClusterId {
        self.cluster.filter(|cluster| now_us <= cluster.end_us).map_or(ClusterId::NONE, |cluster| cluster.id)
    }

    /// Whether the path feels a probe, or just felt one.
    pub fn is_felt(&self, now_us: i64) -> bool {
        self.cluster.is_some() || now_us - self.ended_us < 200_000
    }

    /// Begins a probe if more is wanted than is known to fit, and it is time.
    pub fn consider(&mut self, wish: &Wish) {
        let Wish { now_us, estimate_bps, wanted_bps } = *wish;
        if let Some(cluster) = self.cluster
            && now_us > cluster.end_us + ANSWER_MAX_US
        {
            self.fail(now_us);
        }
        if self.cluster.is_some() || now_us < self.not_before_us || wanted_bps <= estimate_bps {
            return;
        }
        let times = if self.started { FURTHER } else { FIRST };
        self.started = true;
        let bps = (estimate_bps * times).max(RATE_MIN).min(wanted_bps * ABOVE_WANTED).max(estimate_bps * 1.1);
        let lasts = ((CLUSTER_BYTES * 8e6 / bps) as i64).clamp(CLUSTER_US, CLUSTER_MAX_US);
        self.cluster = Some(Cluster {
            id: ClusterId(self.next_id),
            bps,
            begun_us: now_us,
            end_us: now_us + lasts,
            sent_bytes: 0.0,
            sent_packets: 0,
            first_sent: 0,
            last_sent: 0,
            first_sent_len: 0.0,
            answered: 0,
            answered_bytes: 0.0,
            first_len: 0.0,
            first_arrived: i64::MAX,
            last_arrived: i64::MIN,
        });
        self.next_id = if self.next_id == u8::MAX { 1 } else { self.next_id + 1 };
        self.step_us = now_us;
        self.not_before_us = now_us + self.interval_us;
    }

    /// Not before so long from now: the path has enough to do.
    pub fn put_off(&mut self, until_us: i64) {
        self.not_before_us = self.not_before_us.max(until_us);
        self.interval_us = INTERVAL_US;
    }

    /// When [`Prober::step`] has something to send.
    pub fn next_us(&self) -> Option<i64> {
        self.cluster.filter(|cluster| self.step_us <= cluster.end_us).map(|_| self.step_us)
    }

    /// Bytes of padding that are due now.
    pub fn step(&mut self, now_us: i64) -> usize {
        let Some(cluster) = self.cluster.filter(|cluster| now_us >= self.step_us && self.step_us <= cluster.end_us) else { return 0 };
        self.step_us = now_us + STEP_US;
        let until = (now_us + STEP_US).min(cluster.end_us) - cluster.begun_us;
        let due = cluster.bps * until as f64 / 8e6 - cluster.sent_bytes;
        due.max(0.0) as usize
    }

    /// A packet of the stretch left, padding or not.
    pub fn sent(&mut self, now_us: i64, len: u16) {
        let Some(cluster) = &mut self.cluster else { return };
        if cluster.sent_packets == 0 {
            (cluster.first_sent, cluster.first_sent_len) = (now_us, f64::from(len));
        }
        cluster.sent_packets += 1;
        cluster.sent_bytes += f64::from(len);
        cluster.last_sent = now_us;
    }

    pub fn arrived(&mut self, id: ClusterId, arrived_us: i64, len: u16) {
        let Some(cluster) = self.cluster.as_mut().filter(|cluster| cluster.id == id) else { return };
        if arrived_us < cluster.first_arrived {
            (cluster.first_arrived, cluster.first_len) = (arrived_us, f64::from(len));
        }
        cluster.last_arrived = cluster.last_arrived.max(arrived_us);
        cluster.answered += 1;
        cluster.answered_bytes += f64::from(len);
    }

    pub const fn was_saturated(&self) -> bool {
        self.saturated
    }

    /// The rate that the probe proved, once enough of it is told.
    pub fn result(&mut self, now_us: i64, estimate_bps: f64) -> Option<f64> {
        let cluster = self.cluster.filter(|cluster| now_us > cluster.end_us)?;
        if cluster.sent_packets < 4 {
            self.fail(now_us); // There was nothing to send.
            return None;
        }
        if f64::from(cluster.answered) < ANSWERED * f64::from(cluster.sent_packets) {
            return None;
        }
        let sending = (cluster.last_sent - cluster.first_sent).max(1_000) as f64 / 1e6;
        let arriving = (cluster.last_arrived - cluster.first_arrived).max(1_000) as f64 / 1e6;
        // Both rates are those of what came after the first packet: sizes differ.
        let sent = ((cluster.sent_bytes - cluster.first_sent_len) * 8.0 / sending).min(cluster.bps);
        let arrived = (cluster.answered_bytes - cluster.first_len) * 8.0 / arriving;
        let saturated = arrived < sent * SATURATED;
        self.saturated = saturated;
        let proved = if saturated { arrived * USED } else { sent.min(arrived) };
        if saturated || proved <= estimate_bps {
            self.fail(now_us);
        } else {
            // It fits: at once the next, if still more is wanted.
            (self.interval_us, self.not_before_us) = (INTERVAL_US, now_us);
            (self.cluster, self.ended_us) = (None, now_us);
        }
        Some(proved)
    }

    fn fail(&mut self, now_us: i64) {
        (self.cluster, self.ended_us) = (None, now_us);
        self.interval_us = (self.interval_us * 2).min(INTERVAL_MAX_US);
        self.not_before_us = now_us + self.interval_us;
    }
}
