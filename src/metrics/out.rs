//! Rows of the exposition: labels, and families of one kind.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::engine::{Histogram, Snapshot};

pub(super) type One = fn(&Snapshot) -> u64;
/// In and out.
pub(super) type Pair = fn(&Snapshot) -> (u64, u64);
pub(super) type Labels = Vec<(&'static str, String)>;

pub(super) fn shard(snapshot: &Snapshot) -> Labels {
    vec![("shard", snapshot.shard.0.to_string())]
}

pub(super) fn shard_and(label: &'static str, snapshot: &Snapshot, value: &str) -> Labels {
    vec![("shard", snapshot.shard.0.to_string()), (label, value.to_owned())]
}

pub(super) fn each(shards: &[Snapshot], read: One) -> impl Iterator<Item = (Labels, u64)> {
    shards.iter().map(move |s| (shard(s), read(s)))
}

pub(super) fn directions(shards: &[Snapshot], read: Pair) -> impl Iterator<Item = (Labels, u64)> {
    shards.iter().flat_map(move |s| {
        let (incoming, outgoing) = read(s);
        [(shard_and("direction", s, "in"), incoming), (shard_and("direction", s, "out"), outgoing)]
    })
}

/// Writes families of one kind.
pub(super) struct Out<'a>(pub(super) DescriptorEncoder<'a>);

impl Out<'_> {
    pub(super) fn family<'s>(&'s mut self, name: &'s str, help: &'s str, kind: MetricType) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    pub(super) fn counters<L, V>(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (L, V)>) -> fmt::Result
    where
        L: EncodeLabelSet,
        V: EncodeCounterValue,
    {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, V, u64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn gauges<L, V>(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (L, V)>) -> fmt::Result
    where
        L: EncodeLabelSet,
        V: EncodeGaugeValue,
    {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// One gauge, without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: &impl EncodeGaugeValue) -> fmt::Result {
        self.family(name, help, MetricType::Gauge)?.encode_gauge(value)
    }

    /// One counter, without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, MetricType::Counter)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)
    }

    /// One number, without labels, under a name that is not ours to shape.
    pub(super) fn untyped_alone(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, MetricType::Unknown)?.encode_gauge(&value)
    }

    /// Numbers under names that are not ours to shape.
    pub(super) fn untyped<L: EncodeLabelSet>(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (L, u64)>) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Unknown)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    pub(super) fn histograms<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        shards: &[Snapshot],
        read: fn(&Snapshot) -> &Histogram<N>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Histogram)?;
        for snapshot in shards {
            write(family.encode_family(&shard(snapshot))?, read(snapshot))?;
        }
        Ok(())
    }

    pub(super) fn histogram_rows<L: EncodeLabelSet, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: &[(L, &Histogram<N>)],
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Histogram)?;
        for (labels, histogram) in rows {
            write(family.encode_family(labels)?, histogram)?;
        }
        Ok(())
    }

    /// One histogram, without labels.
    pub(super) fn histogram<const N: usize>(&mut self, name: &str, help: &str, histogram: &Histogram<N>) -> fmt::Result {
        write(self.family(name, help, MetricType::Histogram)?, histogram)
    }
}

fn write<const N: usize>(mut encoder: MetricEncoder<'_>, histogram: &Histogram<N>) -> fmt::Result {
    let mut buckets: Vec<(f64, u64)> = histogram.bounds.into_iter().zip(histogram.counts).collect();
    buckets.push((f64::INFINITY, histogram.above));
    encoder.encode_histogram::<NoLabelSet>(histogram.sum, histogram.count(), &buckets, None)
}
