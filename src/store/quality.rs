//! Samples of how well people see and hear, and what they come to over time.

use serde::Serialize;

use super::{Filter, Store};
use crate::users::Error;
use crate::users::pool::Texts;

/// Groups of one answer; the smaller ones are left out.
const GROUPS_MAX: usize = 50;
/// Points of a plot: no screen shows more of them.
pub const POINTS_MAX: u64 = 300;

/// How well somebody saw and heard during a few seconds. Numbers are whole, so that every database adds them up alike; `None` is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// In milliseconds since 1970.
    pub at_ms: u64,
    pub room: String,
    pub identity: String,
    pub browser: String,
    pub device: String,
    pub network: String,
    pub region: String,
    /// Mean opinion scores in hundredths, 100 to 500: of all, of sound, of pictures.
    pub score: Option<u32>,
    pub audio: Option<u32>,
    pub video: Option<u32>,
    pub rtt_ms: Option<u32>,
    pub jitter_ms: Option<u32>,
    /// Lost packets in millionths: from the client to us, in our kernel, in the engine, and from us to the client.
    pub loss_uplink_ppm: Option<u32>,
    pub loss_kernel_ppm: Option<u32>,
    pub loss_engine_ppm: Option<u32>,
    pub loss_downlink_ppm: Option<u32>,
    /// Time that pictures stood still, in thousandths.
    pub frozen_permille: Option<u32>,
    pub estimate_bps: Option<u64>,
    /// Everything, as JSON.
    pub body: String,
}

pub(super) const TABLE: &str = "create table quality (id SERIAL, at_ms bigint not null, room varchar(128) not null, \
    identity varchar(128) not null, browser varchar(64) not null, device varchar(64) not null, network varchar(64) not null, \
    region varchar(64) not null, score bigint, audio bigint, video bigint, rtt_ms bigint, jitter_ms bigint, loss_uplink_ppm bigint, \
    loss_kernel_ppm bigint, loss_engine_ppm bigint, loss_downlink_ppm bigint, frozen_permille bigint, estimate_bps bigint, body text not null)";

/// An empty text is a number that is not known.
pub(super) const INSERT: &str = "insert into quality (at_ms, room, identity, browser, device, network, region, score, audio, video, rtt_ms, \
    jitter_ms, loss_uplink_ppm, loss_kernel_ppm, loss_engine_ppm, loss_downlink_ppm, frozen_permille, estimate_bps, body) values (?n, ?, ?, ?, \
    ?, ?, ?, cast(nullif(?, '') as bigint), cast(nullif(?, '') as bigint), cast(nullif(?, '') as bigint), cast(nullif(?, '') as bigint), \
    cast(nullif(?, '') as bigint), cast(nullif(?, '') as bigint), cast(nullif(?, '') as bigint), cast(nullif(?, '') as bigint), \
    cast(nullif(?, '') as bigint), cast(nullif(?, '') as bigint), cast(nullif(?, '') as bigint), ?)";

impl Sample {
    pub(super) fn values(&self) -> Vec<String> {
        let Self { at_ms, room, identity, browser, device, network, region, score, audio, video, rtt_ms, jitter_ms, .. } = self;
        let Self { loss_uplink_ppm, loss_kernel_ppm, loss_engine_ppm, loss_downlink_ppm, frozen_permille, estimate_bps, body, .. } = self;
        let number = |number: &Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
        let mut values =
            vec![at_ms.to_string(), room.clone(), identity.clone(), browser.clone(), device.clone(), network.clone(), region.clone()];
        let numbers = [score, audio, video, rtt_ms, jitter_ms, loss_uplink_ppm, loss_kernel_ppm, loss_engine_ppm, loss_downlink_ppm];
        values.extend(numbers.into_iter().chain([frozen_permille]).map(number));
        values.push(estimate_bps.map(|number| number.to_string()).unwrap_or_default());
        values.push(body.clone());
        values
    }
}

/// What samples are put together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    All,
    Room,
    Identity,
    Browser,
    Device,
    Network,
    Region,
}

impl By {
    const fn column(self) -> &'static str {
        match self {
            Self::All => "''",
            Self::Room => "room",
            Self::Identity => "identity",
            Self::Browser => "browser",
            Self::Device => "device",
            Self::Network => "network",
            Self::Region => "region",
        }
    }
}

/// Means over a stretch of time; `None` is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Means {
    pub samples: u64,
    /// 1 to 5.
    pub score: Option<f64>,
    pub audio: Option<f64>,
    pub video: Option<f64>,
    pub rtt_ms: Option<f64>,
    pub jitter_ms: Option<f64>,
    /// 0 to 1.
    pub loss_uplink: Option<f64>,
    pub loss_kernel: Option<f64>,
    pub loss_engine: Option<f64>,
    pub loss_downlink: Option<f64>,
    pub frozen: Option<f64>,
    pub estimate_bps: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The stretch's beginning, in seconds since 1970.
    pub at_s: u64,
    #[serde(flatten)]
    pub means: Means,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Empty: of all, or of those who did not say.
    pub name: String,
    #[serde(flatten)]
    pub means: Means,
    /// Samples with a score below 3.
    pub poor: u64,
    pub points: Vec<Point>,
}

const MEANS: &str = "cast(count(*) as varchar(20)), cast(avg(score) as varchar(20)), cast(avg(audio) as varchar(20)), \
    cast(avg(video) as varchar(20)), cast(avg(rtt_ms) as varchar(20)), cast(avg(jitter_ms) as varchar(20)), \
    cast(avg(loss_uplink_ppm) as varchar(20)), cast(avg(loss_kernel_ppm) as varchar(20)), cast(avg(loss_engine_ppm) as varchar(20)), \
    cast(avg(loss_downlink_ppm) as varchar(20)), cast(avg(frozen_permille) as varchar(20)), cast(avg(estimate_bps) as varchar(20)), \
    cast(sum(case when score < 300 then 1 else 0 end) as varchar(20))";

impl Means {
    /// The columns of [`MEANS`].
    fn read(columns: &[String]) -> (Self, u64) {
        let number = |at: usize| columns.get(at).and_then(|text| text.trim().parse::<f64>().ok());
        let scaled = |at: usize, by: f64| number(at).map(|number| number / by);
        let means = Self {
            samples: number(0).unwrap_or(0.0) as u64,
            score: scaled(1, 100.0),
            audio: scaled(2, 100.0),
            video: scaled(3, 100.0),
            rtt_ms: number(4),
            jitter_ms: number(5),
            loss_uplink: scaled(6, 1e6),
            loss_kernel: scaled(7, 1e6),
            loss_engine: scaled(8, 1e6),
            loss_downlink: scaled(9, 1e6),
            frozen: scaled(10, 1e3),
            estimate_bps: number(11),
        };
        (means, number(12).unwrap_or(0.0) as u64)
    }
}

impl Store {
    /// Groups, the largest first, each with its means every `step_ms`.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn quality(&self, filter: &Filter, by: By, step_ms: u64) -> Result<Vec<Group>, Error> {
        let (clause, values) = filter.clause("quality");
        let (column, step_ms) = (by.column(), step_ms.max(1_000));
        let whole = format!("select {column}, {MEANS} from quality where {clause} group by 1 order by count(*) desc limit {GROUPS_MAX}");
        let mut groups: Vec<Group> = self.rows(&whole, &values).await?.into_iter().filter_map(group).collect();
        let parts = format!(
            "select {column}, cast((at_ms / {step_ms}) * {step_ms} as varchar(20)), {MEANS} from quality where {clause} group by 1, 2 \
             order by 1, 2 limit {}",
            POINTS_MAX * GROUPS_MAX as u64
        );
        for row in self.rows(&parts, &values).await? {
            let Some((name, [at_ms, columns @ ..])) = row.split_first() else { continue };
            let (Some(group), Ok(at_ms)) = (groups.iter_mut().find(|group| group.name == *name), at_ms.parse::<u64>()) else { continue };
            group.points.push(Point { at_s: at_ms / 1_000, means: Means::read(columns).0 });
        }
        for group in &mut groups {
            // They came ordered as texts.
            group.points.sort_by_key(|point| point.at_s);
        }
        Ok(groups)
    }

    /// The latest samples, the newest first, as the JSON that was kept.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn samples(&self, filter: &Filter, limit: usize) -> Result<Vec<(u64, String)>, Error> {
        let (clause, values) = filter.clause("quality");
        let limit = limit.clamp(1, super::PAGE_MAX);
        let statement =
            format!("select cast(at_ms as varchar(20)), body from quality where {clause} order by at_ms desc, id desc limit {limit}");
        let sample = |row: Texts| {
            let [at_ms, body] = <[String; 2]>::try_from(row).ok()?;
            Some((at_ms.parse().ok()?, body))
        };
        Ok(self.rows(&statement, &values).await?.into_iter().filter_map(sample).collect())
    }
}

fn group(row: Texts) -> Option<Group> {
    let (name, columns) = row.split_first()?;
    let (means, poor) = Means::read(columns);
    Some(Group { name: name.clone(), means, poor, points: Vec::new() })
}
