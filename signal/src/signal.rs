//! The door of the crate: rules behind one lock, routes before it.

use std::sync::Arc;

use axum::Router;

use crate::config::Config;
use crate::media::{Media, MediaEvent};

/// For metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub rooms: usize,
    pub participants: usize,
}

/// Rooms and people, and everything that lets clients reach them. Cheap to clone: all clones are the same one.
#[derive(Clone)]
pub struct Signal {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    _media: Arc<dyn Media>,
}

impl Signal {
    /// `media` must not call back into the `Signal` from within its methods: they are called under the rules' lock.
    pub fn new(config: Config, media: Arc<dyn Media>) -> Self {
        Self { inner: Arc::new(Inner { config, _media: media }) }
    }

    /// `/`, `/ws`, `/whip/…`, `/whep/…`, `/client/…`, and `/dev/token` when the configuration allows it.
    pub fn router(&self) -> Router {
        let _ = &self.inner.config;
        Router::new()
    }

    /// Something happened on the media side. To be called from outside of [`Media`]'s methods, in the order in which things happened.
    pub fn handle_media_event(&self, event: MediaEvent) {
        let _ = event;
    }

    pub fn counts(&self) -> Counts {
        Counts::default()
    }

    /// Tells everyone that the server closes and ends every participant.
    pub fn close_all(&self) {}
}
