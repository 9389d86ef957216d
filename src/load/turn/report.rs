//! What came of a run, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::flood::Finding;
use crate::load::cost::Usage;

pub struct Report {
    pub allocations: u64,
    pub allocating: Duration,
    /// Packets that the server was asked to relay.
    pub offered: u64,
    pub at_peer: u64,
    pub at_clients: u64,
    /// Forged requests that were sent meanwhile.
    pub strangers: u64,
    /// From the first packet sent to the last.
    pub elapsed: Duration,
    /// Before the first allocation and with all of them idle.
    pub idle: Option<(Usage, Usage)>,
    /// Before and after the packets.
    pub busy: Option<(Usage, Usage)>,
}

impl Report {
    fn relayed(&self) -> u64 {
        self.at_peer + self.at_clients
    }

    fn loss(&self) -> Option<f64> {
        (self.offered > 0).then(|| 1.0 - self.relayed() as f64 / self.offered as f64)
    }

    fn cpu_ns(&self) -> Option<u64> {
        self.busy.map(|(before, after)| after.cpu_ns.saturating_sub(before.cpu_ns))
    }

    fn cpu_ns_per_packet(&self) -> Option<f64> {
        self.cpu_ns().filter(|_| self.relayed() > 0).map(|cpu| cpu as f64 / self.relayed() as f64)
    }

    /// Resident memory after the packets, less that before.
    fn rss_growth(&self) -> Option<i64> {
        self.busy.map(|(before, after)| after.rss_bytes as i64 - before.rss_bytes as i64)
    }

    fn allocations_per_s(&self) -> f64 {
        self.allocations as f64 / self.allocating.as_secs_f64().max(1e-9)
    }

    fn of_each_allocation(&self) -> Option<(f64, f64)> {
        let (before, after) = self.idle?;
        let count = self.allocations as f64;
        let rss = after.rss_bytes as f64 - before.rss_bytes as f64;
        Some((after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / count, rss / count))
    }

    pub fn to_json(&self) -> String {
        json!({
            "allocations": self.allocations,
            "allocations_per_s": self.allocations_per_s(),
            "cpu_ns_per_allocation": self.of_each_allocation().map(|(cpu, _)| cpu),
            "rss_bytes_per_allocation": self.of_each_allocation().map(|(_, rss)| rss),
            "offered": self.offered,
            "at_peer": self.at_peer,
            "at_clients": self.at_clients,
            "strangers": self.strangers,
            "seconds": self.elapsed.as_secs_f64(),
            "loss": self.loss(),
            "cpu_ns": self.cpu_ns(),
            "cpu_ns_per_packet": self.cpu_ns_per_packet(),
            "rss_growth_bytes": self.rss_growth(),
        })
        .to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} allocations, {:.0} a second", self.allocations, self.allocations_per_s())?;
        if let Some((cpu, rss)) = self.of_each_allocation() {
            writeln!(f, "  {:.0} µs CPU and {rss:.0} bytes each", cpu / 1000.0)?;
        }
        let (peer, clients) = (self.at_peer, self.at_clients);
        writeln!(
            f,
            "{} packets offered in {:.2} s; {peer} reached the peer, {clients} the clients",
            self.offered,
            self.elapsed.as_secs_f64()
        )?;
        if self.strangers > 0 {
            let rate = self.strangers as f64 / self.elapsed.as_secs_f64().max(1e-9);
            writeln!(f, "  while {} requests of strangers came, {rate:.0} a second", self.strangers)?;
        }
        if let Some(loss) = self.loss() {
            writeln!(f, "  {:.2} % lost", 100.0 * loss)?;
        }
        if let Some(cpu) = self.cpu_ns_per_packet() {
            writeln!(f, "  {cpu:.0} ns CPU of the server per relayed packet")?;
        }
        if let Some(rss) = self.rss_growth() {
            writeln!(f, "  {rss} bytes of memory more than before")?;
        }
        Ok(())
    }
}

pub fn flood_json(findings: &[Finding]) -> String {
    let rows: Vec<_> = findings
        .iter()
        .map(|it| {
            let of_each = |value: f64| value / f64::from(it.sources);
            json!({
                "kind": it.kind,
                "sources": it.sources,
                "rss_bytes_per_source": it.kept.map(|(rss, _)| of_each(rss as f64)),
                "cpu_ns_per_packet": it.kept.map(|(_, cpu)| of_each(cpu as f64)),
            })
        })
        .collect();
    serde_json::Value::Array(rows).to_string()
}

pub fn flood_text(findings: &[Finding]) -> String {
    let line = |it: &Finding| match it.kept {
        Some((rss, cpu)) => {
            let (rss, cpu) = (rss as f64 / f64::from(it.sources), cpu as f64 / f64::from(it.sources));
            format!("{} sources, {}: {rss:.1} bytes kept and {cpu:.0} ns CPU each\n", it.sources, it.kind)
        }
        None => format!("{} sources, {}: sent\n", it.sources, it.kind),
    };
    findings.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_set_against_what_arrived() {
        let usage = |cpu_ns, rss_bytes| Usage { cpu_ns, rss_bytes };
        let report = Report {
            allocations: 10,
            allocating: Duration::from_millis(100),
            offered: 1000,
            at_peer: 500,
            at_clients: 300,
            strangers: 0,
            elapsed: Duration::from_secs(2),
            idle: Some((usage(0, 1000), usage(1_000_000, 21_000))),
            busy: Some((usage(1_000_000, 0), usage(5_000_000, 0))),
        };
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let number = |key: &str| json[key].as_f64().unwrap();
        assert_eq!((number("cpu_ns_per_packet"), number("allocations_per_s")), (5000.0, 100.0));
        assert_eq!((number("rss_bytes_per_allocation"), number("cpu_ns_per_allocation")), (2000.0, 100_000.0));
        assert!((number("loss") - 0.2).abs() < 1e-9);
        assert!(report.to_string().contains("5000 ns CPU"));
    }
}
