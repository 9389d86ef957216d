//! The figures of a run.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::cost::Usage;

/// What all clients together saw during the measurement.
pub struct Tally {
    pub elapsed: Duration,
    pub publishers: usize,
    pub players: usize,
    /// Players to which nothing came.
    pub players_without_media: usize,
    pub sent: u64,
    pub sent_bytes: u64,
    pub received: u64,
    pub received_bytes: u64,
    pub lost: u64,
    /// Packets that were not our publishers', such as padding.
    pub foreign: u64,
    pub keyframes: u64,
    pub profile: String,
    /// In ns.
    pub latency: Histogram<u64>,
}

/// Sum and count of the server's histogram of train lengths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainLength {
    packets: f64,
    trains: f64,
}

impl TrainLength {
    /// Reads Prometheus text; shards are added up.
    pub fn read(metrics: &str) -> Self {
        let sum = |name: &str| {
            let samples = metrics.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' ']));
            samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        Self { packets: sum("pointsman_engine_train_length_sum"), trains: sum("pointsman_engine_train_length_count") }
    }
}

pub struct Report {
    tally: Tally,
    /// CPU time during the measurement, and memory at its end.
    server: Option<Usage>,
    train_length: Option<f64>,
}

impl Report {
    pub fn new(tally: Tally, usage: Option<(Usage, Usage)>, trains: Option<(TrainLength, TrainLength)>) -> Self {
        let server = usage.map(|(before, after)| Usage { cpu_ns: after.cpu_ns.saturating_sub(before.cpu_ns), rss_bytes: after.rss_bytes });
        let train_length = trains.and_then(|(before, after)| {
            let trains = after.trains - before.trains;
            (trains > 0.0).then(|| (after.packets - before.packets) / trains)
        });
        Self { tally, server, train_length }
    }

    fn latency_ms(&self, quantile: f64) -> f64 {
        self.tally.latency.value_at_quantile(quantile) as f64 / 1e6
    }

    fn cpu_ns_per_packet(&self) -> Option<f64> {
        let usage = self.server?;
        (self.tally.received > 0).then(|| usage.cpu_ns as f64 / self.tally.received as f64)
    }

    pub fn to_json(&self) -> String {
        let tally = &self.tally;
        let number =
            |value: Option<f64>| value.map_or(serde_json::Value::Null, |value| serde_json::json!((value * 1000.0).round() / 1000.0));
        serde_json::json!({
            "seconds": number(Some(tally.elapsed.as_secs_f64())),
            "publishers": tally.publishers,
            "subscribers": tally.players,
            "subscribers_without_media": tally.players_without_media,
            "sent": tally.sent,
            "sent_bytes": tally.sent_bytes,
            "received": tally.received,
            "received_bytes": tally.received_bytes,
            "lost": tally.lost,
            "foreign": tally.foreign,
            "keyframes": tally.keyframes,
            "srtp_profile": tally.profile,
            "latency_ms_p50": number(Some(self.latency_ms(0.5))),
            "latency_ms_p99": number(Some(self.latency_ms(0.99))),
            "server_cpu_ns_per_packet": number(self.cpu_ns_per_packet()),
            "server_cpu_cores": number(self.server.map(|usage| usage.cpu_ns as f64 / tally.elapsed.as_nanos() as f64)),
            "server_rss_bytes": self.server.map(|usage| usage.rss_bytes),
            "train_length": number(self.train_length),
        })
        .to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        let seconds = tally.elapsed.as_secs_f64();
        let rate = |packets: u64| packets as f64 / seconds;
        writeln!(f, "{} publishers, {} subscribers, {seconds:.1} s, {}", tally.publishers, tally.players, tally.profile)?;
        if tally.players_without_media > 0 {
            writeln!(f, "without media  {} subscribers", tally.players_without_media)?;
        }
        writeln!(f, "sent           {} packets, {:.0}/s, {} keyframes", tally.sent, rate(tally.sent), tally.keyframes)?;
        writeln!(
            f,
            "received       {} packets, {:.0}/s, {:.1} Mbit/s",
            tally.received,
            rate(tally.received),
            tally.received_bytes as f64 * 8e-6 / seconds
        )?;
        writeln!(f, "lost           {}", tally.lost)?;
        writeln!(f, "latency        p50 {:.2} ms, p99 {:.2} ms", self.latency_ms(0.5), self.latency_ms(0.99))?;
        if let (Some(usage), Some(cost)) = (self.server, self.cpu_ns_per_packet()) {
            let cores = usage.cpu_ns as f64 / tally.elapsed.as_nanos() as f64;
            writeln!(
                f,
                "server         {cost:.0} ns CPU per forwarded packet, {cores:.2} cores, {:.1} MiB",
                usage.rss_bytes as f64 / (1 << 20) as f64
            )?;
        }
        if let Some(length) = self.train_length {
            writeln!(f, "train length   {length:.2} packets")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_train_length_is_that_of_the_measured_time() {
        let text = |sum: u32, count: u32| {
            format!(
                "# HELP x\npointsman_engine_train_length_sum{{shard=\"0\"}} {sum}\npointsman_engine_train_length_sum{{shard=\"1\"}} 10\npointsman_engine_train_length_count{{shard=\"0\"}} {count}\n"
            )
        };
        let (before, after) = (TrainLength::read(&text(100, 50)), TrainLength::read(&text(500, 150)));
        assert_eq!(before, TrainLength { packets: 110.0, trains: 50.0 });
        let mut latency = super::super::flow::latencies().expect("bounds");
        latency.record(2_000_000).expect("in range");
        let tally = Tally {
            elapsed: Duration::from_secs(2),
            publishers: 1,
            players: 5,
            players_without_media: 0,
            sent: 100,
            sent_bytes: 1,
            received: 500,
            received_bytes: 1,
            lost: 0,
            foreign: 0,
            keyframes: 1,
            profile: "x".into(),
            latency,
        };
        let usage = |cpu_ns| Usage { cpu_ns, rss_bytes: 1 << 20 };
        let report = Report::new(tally, Some((usage(1_000_000), usage(2_000_000))), Some((before, after)));
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).expect("JSON");
        assert_eq!(
            (json["train_length"].as_f64(), json["server_cpu_ns_per_packet"].as_f64(), json["received"].as_u64()),
            (Some(4.0), Some(2000.0), Some(500))
        );
        assert!(report.to_string().contains("2000 ns CPU per forwarded packet"));
    }
}
