//! Events of a pull as events of a run.

use std::collections::HashMap;

use banger_oci::{Digest, PullEvent};

use crate::event::{Event, LayerBlob};

/// Turns the events of a pull into events of a run; remembers sizes that come only once.
#[derive(Debug, Default)]
pub(crate) struct PullEvents {
    sizes: HashMap<Digest, u64>,
}

impl PullEvents {
    /// Returns the run's event for `event`, if there is one.
    pub(crate) fn translate(&mut self, event: PullEvent) -> Option<Event> {
        Some(match event {
            PullEvent::Resolving { reference } => Event::Resolving { reference },
            PullEvent::Resolved { digest, platform, layers, .. } => {
                let size_bytes = layers.iter().map(|layer| layer.size_bytes).sum();
                let blobs = layers
                    .iter()
                    .map(|layer| LayerBlob::new(layer.digest.to_string(), layer.size_bytes))
                    .collect();
                let count = layers.len();
                self.sizes = layers.into_iter().map(|layer| (layer.digest, layer.size_bytes)).collect();
                Event::Resolved {
                    digest: digest.to_string(),
                    platform: platform.to_string(),
                    layers: count,
                    size_bytes,
                    blobs,
                }
            }
            PullEvent::LayerCached { digest, size_bytes } => {
                Event::BlobStarted { digest: digest.to_string(), size_bytes, cached: true, resumed_bytes: 0 }
            }
            PullEvent::LayerStarted { digest, size_bytes, resumed_bytes } => {
                Event::BlobStarted { digest: digest.to_string(), size_bytes, cached: false, resumed_bytes }
            }
            PullEvent::LayerWaiting { digest } => Event::BlobWaiting { digest: digest.to_string() },
            PullEvent::LayerBytes { digest, received_bytes } => {
                let size_bytes = self.sizes.get(&digest).copied().unwrap_or(received_bytes);
                Event::BlobProgress { digest: digest.to_string(), done_bytes: received_bytes, size_bytes }
            }
            PullEvent::BlobPresent { digest, size_bytes, .. } => {
                Event::BlobStarted { digest: digest.to_string(), size_bytes, cached: true, resumed_bytes: 0 }
            }
            PullEvent::UploadStarted { digest, size_bytes } => {
                let name = digest.to_string();
                self.sizes.insert(digest, size_bytes);
                Event::BlobStarted { digest: name, size_bytes, cached: false, resumed_bytes: 0 }
            }
            PullEvent::UploadBytes { digest, sent_bytes } => {
                let size_bytes = self.sizes.get(&digest).copied().unwrap_or(sent_bytes);
                Event::BlobProgress { digest: digest.to_string(), done_bytes: sent_bytes, size_bytes }
            }
            PullEvent::UploadDone { digest } => Event::BlobDone { digest: digest.to_string() },
            PullEvent::LayerDone { digest } => Event::BlobDone { digest: digest.to_string() },
            PullEvent::Retry { what, reason, attempt, delay_ms } => {
                Event::Retry { what, attempt: attempt + 1, reason, delay_ms }
            }
            PullEvent::EndpointChosen { endpoint } => Event::EndpointChosen { endpoint },
            PullEvent::EndpointSkipped { endpoint, reason } => Event::EndpointSkipped { endpoint, reason },
            PullEvent::CacheDamaged { digest } => Event::Warning {
                message: format!(
                    "blob {digest} in the cache was damaged; it was removed and is fetched again"
                ),
            },
            _ => return None,
        })
    }
}
