//! Chooses the image that a reference means among those of a source.
//!
//! The platform chooses first. If several different images are left, the error lists them: the first one
//! would be a guess, and a wrong guess looks like success.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use banger_tree::{Advice, Budget};

use crate::digest::Digest;
use crate::one_line::one_line;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::config::ImageConfig;
use crate::registry::error::{FittingImage, PullError};
use crate::registry::manifest::{
    Descriptor, ImageIndex, ImageManifest, Manifest, ManifestKind, manifest_kind,
};
use crate::registry::options::PullOptions;
use crate::registry::source::{Document, ImageSource, Root, names_of};
use crate::registry::stop::PullStop;
use crate::registry::trust::{TrustCheck, VerifiedSignature};

/// How deep indexes may be nested.
const MAX_INDEX_DEPTH: u32 = 4;
/// Number of documents that are read to find facts that the index does not state.
const MAX_DOCUMENTS: u32 = 128;
/// How many images or platforms an error lists.
const MAX_LISTED: usize = 20;

/// The image that was chosen.
pub(crate) struct Chosen {
    pub(crate) digest: Digest,
    pub(crate) index_digest: Option<Digest>,
    pub(crate) platform: Platform,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) manifest: ImageManifest,
    pub(crate) config: ImageConfig,
    pub(crate) config_bytes: Vec<u8>,
    pub(crate) warnings: Vec<String>,
    /// The signatures that met the requirements of the policy.
    pub(crate) signatures: Vec<VerifiedSignature>,
}

/// Finds the image for a platform below a root.
pub(crate) struct Resolver<'a> {
    source: &'a dyn ImageSource,
    reference: &'a Reference,
    options: &'a PullOptions,
    cancel: &'a PullStop,
    trust: TrustCheck<'a>,
    wanted: Platform,
    listed: Vec<Platform>,
    /// The platforms met that do not fit.
    available: Vec<String>,
    /// Why the first of the entries that were not used was not.
    foreign: Option<PullError>,
    foreign_count: u32,
    passed_over: Option<String>,
    documents: u32,
    /// The documents whose values were charged: they may be read twice.
    charged: RefCell<HashSet<Digest>>,
}

/// An image that fits, and how well.
#[derive(Clone)]
struct Candidate {
    rank: u32,
    descriptor: Descriptor,
    index_digest: Option<Digest>,
    /// The names of the entry it was found in or below.
    names: Vec<String>,
}

/// The way to an entry: the facts that all entries of an index share.
struct IndexPlace<'a> {
    index_digest: Option<&'a Digest>,
    names: &'a [String],
    depth: u32,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(
        source: &'a dyn ImageSource,
        reference: &'a Reference,
        options: &'a PullOptions,
        cancel: &'a PullStop,
    ) -> Result<Self, PullError> {
        Ok(Self {
            trust: TrustCheck::new(source, reference, options)?,
            source,
            reference,
            options,
            cancel,
            wanted: options.platform.clone().unwrap_or_else(Platform::host),
            listed: Vec::new(),
            available: Vec::new(),
            foreign: None,
            foreign_count: 0,
            passed_over: None,
            documents: 0,
            charged: RefCell::default(),
        })
    }

    /// The budget for the values of a document.
    fn budget_for(&self, digest: &Digest) -> Budget {
        match self.charged.borrow_mut().insert(digest.clone()) {
            true => self.options.budget.clone(),
            false => self.options.budget.renewed(),
        }
    }

    pub(crate) fn resolve(mut self) -> Result<Chosen, PullError> {
        let mut warnings = Vec::new();
        let (index, index_digest) = match self.source.root()? {
            Root::Choice(index) => (index, None),
            Root::Document(document) => match self.parse(&document, None)? {
                (Manifest::Image(manifest), warning) => {
                    let mut chosen = self.image(None, document.digest, manifest)?;
                    chosen.warnings.extend(warning);
                    return match self.fit(&chosen.platform) {
                        Some(_) => not_for_windows(chosen),
                        None => Err(self.nothing_fits()),
                    };
                }
                (Manifest::Index(index), warning) => {
                    warnings.extend(warning);
                    (index, Some(document.digest))
                }
            },
        };
        let mut candidates = Vec::new();
        let place = IndexPlace { index_digest: index_digest.as_ref(), names: &[], depth: 1 };
        self.collect(&index, &place, &mut candidates)?;
        loop {
            let Some(best) = self.only_one(&mut candidates)? else { return Err(self.nothing_fits()) };
            let (document, manifest, warning) = match self.read(&best.descriptor) {
                // It only looked like an image: another one may be less of a fit, and be one.
                Err(error @ PullError::NotAnImage { .. }) => {
                    self.note_foreign(error);
                    candidates.retain(|candidate| candidate.descriptor.digest != best.descriptor.digest);
                    continue;
                }
                read => read?,
            };
            let Manifest::Image(manifest) = manifest else {
                return Err(PullError::Malformed {
                    what: format!("manifest {}", document.digest),
                    reason: "it is an index where its descriptor says image".to_owned(),
                });
            };
            let mut chosen = self.image(best.index_digest.as_ref(), document.digest, manifest)?;
            chosen.index_digest = best.index_digest;
            chosen.platforms.clone_from(&self.listed);
            warnings.extend(warning);
            chosen.warnings = warnings;
            if let Some(stated) = best.descriptor.platform {
                self.compare_platforms(&mut chosen, stated)?;
            }
            return not_for_windows(chosen);
        }
    }

    /// Gathers the images that fit from an index and those nested in it.
    fn collect(
        &mut self,
        index: &ImageIndex,
        place: &IndexPlace<'_>,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PullError> {
        if self.passed_over.is_none() {
            self.passed_over.clone_from(&index.passed_over);
        }
        let before = candidates.len();
        for descriptor in &index.manifests {
            self.collect_entry(descriptor, place, candidates)?;
        }
        if candidates.len() == before {
            for descriptor in &index.vague {
                self.collect_entry(descriptor, place, candidates)?;
            }
        }
        Ok(())
    }

    fn collect_entry(
        &mut self,
        descriptor: &Descriptor,
        place: &IndexPlace<'_>,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PullError> {
        self.cancel.check()?;
        let kind = manifest_kind(&descriptor.media_type);
        if self.options.wanted.excludes(descriptor)
            || matches!(kind, ManifestKind::Other | ManifestKind::Schema1)
        {
            let artifact = descriptor.artifact_type.as_deref().filter(|value| !value.is_empty());
            let media_type = one_line(artifact.unwrap_or(&descriptor.media_type));
            self.note_foreign(PullError::NotAnImage {
                what: format!("manifest {}", descriptor.digest),
                reason: format!("its media type is `{media_type}`"),
            });
            return Ok(());
        }
        let stated = descriptor.platform.as_ref();
        if let Some(platform) = stated
            && self.listed.len() < 256
            && !self.listed.contains(platform)
        {
            self.listed.push(platform.clone());
        }
        let stated_rank = stated.map(|platform| self.fit(platform));
        if stated_rank == Some(None) {
            return Ok(());
        }
        let own_names = || names_of(descriptor).into_iter().map(str::to_owned).collect::<Vec<_>>();
        // Names inside a nested index do not count.
        let names = if place.depth == 1 { own_names() } else { place.names.to_vec() };
        let rank = match (kind, stated_rank.flatten()) {
            (ManifestKind::Image, Some(rank)) => Some(rank),
            _ => {
                // Two that differ are enough for an error.
                if self.documents >= MAX_DOCUMENTS && differ(candidates) {
                    return Ok(());
                }
                match self.read(descriptor) {
                    Ok((document, Manifest::Index(index), _)) => {
                        if place.depth >= MAX_INDEX_DEPTH {
                            return Err(PullError::Malformed {
                                what: format!("index {}", descriptor.digest),
                                reason: format!("indexes are nested more than {MAX_INDEX_DEPTH} deep"),
                            });
                        }
                        let digest = place.index_digest.unwrap_or(&document.digest);
                        let below =
                            IndexPlace { index_digest: Some(digest), names: &names, depth: place.depth + 1 };
                        return self.collect(&index, &below, candidates);
                    }
                    Ok((document, Manifest::Image(manifest), _)) => {
                        let chosen = self.image(place.index_digest, document.digest, manifest)?;
                        self.fit(&chosen.platform)
                    }
                    // An artifact beside the images of an index does not matter.
                    Err(error @ PullError::NotAnImage { .. }) => {
                        self.note_foreign(error);
                        None
                    }
                    // A document without the media type of a manifest.
                    Err(error @ PullError::Malformed { .. }) if kind == ManifestKind::Generic => {
                        self.note_foreign(error);
                        None
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        candidates.extend(rank.map(|rank| Candidate {
            rank,
            descriptor: descriptor.clone(),
            index_digest: place.index_digest.cloned(),
            names,
        }));
        Ok(())
    }

    /// Returns the single image among the best candidates; it may have several names. Candidates that are not
    /// images are removed.
    fn only_one(&mut self, candidates: &mut Vec<Candidate>) -> Result<Option<Candidate>, PullError> {
        loop {
            let best = best_of_each_name(candidates);
            if !differ(&best) {
                return Ok(best.into_iter().next());
            }
            // Entries that look like images may be signatures, or one image compressed in several ways.
            let mut images: Vec<Candidate> = Vec::new();
            let mut configs = HashSet::new();
            let mut judged: HashMap<Digest, bool> = HashMap::new();
            for candidate in best {
                self.cancel.check()?;
                let digest = &candidate.descriptor.digest;
                let counts = match judged.get(digest) {
                    Some(counts) => *counts,
                    None if self.documents >= MAX_DOCUMENTS => true,
                    None => match self.read(&candidate.descriptor) {
                        Ok((_, Manifest::Image(manifest), _)) => {
                            !manifest.layers.is_empty() && configs.insert(manifest.config.digest)
                        }
                        Ok((_, Manifest::Index(_), _)) => false,
                        Err(error @ PullError::NotAnImage { .. }) => {
                            self.note_foreign(error);
                            false
                        }
                        Err(error) => return Err(error),
                    },
                };
                judged.insert(digest.clone(), counts);
                if counts {
                    images.push(candidate);
                }
            }
            if differ(&images) {
                return Err(self.ambiguous(&images));
            }
            if let Some(only) = images.into_iter().next() {
                return Ok(Some(only));
            }
            candidates.retain(|candidate| !judged.contains_key(&candidate.descriptor.digest));
        }
    }

    fn ambiguous(&self, candidates: &[Candidate]) -> PullError {
        let mut images: Vec<FittingImage> = Vec::new();
        let mut places: HashMap<&Digest, usize> = HashMap::new();
        for candidate in candidates {
            let digest = &candidate.descriptor.digest;
            let at = *places.entry(digest).or_insert_with(|| {
                let platform = candidate.descriptor.platform.as_ref().map(ToString::to_string);
                images.push(FittingImage { digest: digest.clone(), names: Vec::new(), platform });
                images.len() - 1
            });
            let image = &mut images[at];
            for name in &candidate.names {
                // A tag behind the name that ends in it says nothing more.
                let told = |known: &String| known == name || known.ends_with(&format!(":{name}"));
                if image.names.len() < MAX_LISTED && !image.names.iter().any(told) {
                    image.names.push(name.clone());
                }
            }
        }
        let count = images.len();
        images.truncate(MAX_LISTED);
        PullError::Ambiguous {
            reference: self.reference.to_string(),
            count,
            images,
            advice: Advice::new(match self.reference {
                Reference::Registry(_) | Reference::ContainersStorage { .. } => {
                    "choose one by its digest, as in NAME@sha256:…"
                }
                _ => {
                    "choose one by its full name behind the path (PATH:NAME), by its tag where no other has that \
                     tag, or by PATH@sha256:…"
                }
            }),
        }
    }

    /// Reads the document of an entry.
    fn read(&mut self, descriptor: &Descriptor) -> Result<(Document, Manifest, Option<String>), PullError> {
        self.documents += 1;
        let what = format!("manifest {}", descriptor.digest);
        // It is always allowed to read a chosen document again.
        if self.documents > MAX_DOCUMENTS + 1 {
            return Err(PullError::Malformed {
                what,
                reason: format!(
                    "its index needs more than {MAX_DOCUMENTS} documents read; choose an image by name or digest"
                ),
            });
        }
        self.options.manifest_cap().check(descriptor.size, &what)?;
        let document = self.source.document(descriptor)?;
        descriptor.check(&document.bytes, "its source")?;
        // The kind of the document must fit its descriptor, too.
        let (manifest, warning) = self.parse(&document, Some(&descriptor.media_type))?;
        Ok((document, manifest, warning))
    }

    fn parse(
        &self,
        document: &Document,
        declared: Option<&str>,
    ) -> Result<(Manifest, Option<String>), PullError> {
        let what = format!("manifest {}", document.digest);
        let declared = [document.media_type.as_deref(), declared];
        let budget = self.budget_for(&document.digest);
        let parsed = Manifest::parse_within(&document.bytes, &declared, &what, &budget)?;
        self.options.wanted.check(&parsed.0, &what)?;
        Ok(parsed)
    }

    /// Reads the configuration that belongs to a manifest, after the check of signatures.
    fn image(
        &self,
        index: Option<&Digest>,
        digest: Digest,
        manifest: ImageManifest,
    ) -> Result<Chosen, PullError> {
        self.trust.admit(index, &digest)?;
        let what = format!("image configuration {}", manifest.config.digest);
        self.options.config_cap().check(manifest.config.size, &what)?;
        let config_bytes = self.source.config(&manifest.config)?;
        manifest.config.check(&config_bytes, "its source")?;
        let budget = self.budget_for(&manifest.config.digest);
        let config = ImageConfig::parse_within(&config_bytes, &manifest.config.digest, &budget)?;
        let own = config.platform();
        // Images made from scratch by simple tools leave it out: then anything fits.
        let own = (!own.os.is_empty() && !own.architecture.is_empty()).then_some(own);
        let platform = own.unwrap_or_else(|| self.wanted.clone());
        Ok(Chosen {
            digest,
            index_digest: None,
            platform,
            platforms: Vec::new(),
            manifest,
            config,
            config_bytes,
            warnings: Vec::new(),
            signatures: self.trust.verified(),
        })
    }

    /// Compares the platform in the index, which chose the image, with the platform of the image.
    fn compare_platforms(&self, chosen: &mut Chosen, stated: Platform) -> Result<(), PullError> {
        if chosen.platform.is_like(&stated)
            || chosen.config.os.is_empty()
            || chosen.config.architecture.is_empty()
        {
            if chosen.config.os.is_empty() || chosen.config.architecture.is_empty() {
                chosen.platform = stated;
            }
            return Ok(());
        }
        let [stated_text, found] =
            [&stated, &chosen.platform].map(|platform| one_line(&platform.to_string()));
        if self.options.platform.is_some() {
            return Err(PullError::PlatformMismatch {
                digest: chosen.digest.clone(),
                stated: stated_text,
                found,
            });
        }
        chosen.warnings.push(format!(
            "the index says that image {} is built for {stated_text}, its configuration says {found}; it is taken \
             as {stated_text}",
            chosen.digest
        ));
        chosen.platform = stated;
        Ok(())
    }

    /// Returns how well a platform fits; remembers an unfit one for the error.
    fn fit(&mut self, offered: &Platform) -> Option<u32> {
        let rank = self.wanted.rank(offered);
        if rank.is_none() && self.available.len() < MAX_LISTED {
            let name = one_line(&offered.to_string());
            if !self.available.contains(&name) {
                self.available.push(name);
            }
        }
        rank
    }

    fn note_foreign(&mut self, error: PullError) {
        self.foreign_count = self.foreign_count.saturating_add(1);
        self.foreign.get_or_insert(error);
    }

    /// Why no image exists.
    fn nothing_fits(&mut self) -> PullError {
        if !self.available.is_empty() {
            return PullError::NoPlatform {
                reference: self.reference.to_string(),
                wanted: self.wanted.to_string(),
                available: std::mem::take(&mut self.available),
            };
        }
        let listed = match (self.foreign.take(), &self.passed_over) {
            // It was the only one that could be meant.
            (Some(error @ PullError::NotAnImage { .. }), None) if self.foreign_count == 1 => return error,
            (Some(PullError::NotAnImage { what, reason }), _) => format!("; {what} is none: {reason}"),
            (Some(error), _) => format!("; {error}"),
            (None, Some(reason)) => format!("; an entry was passed over: it {}", one_line(reason)),
            (None, None) => String::new(),
        };
        PullError::NotAnImage {
            what: self.reference.to_string(),
            reason: format!("its index lists no images{listed}"),
        }
    }
}

/// Refuses images for Windows, which cannot be built: their layers have registry hives, and files in another
/// tree.
fn not_for_windows(chosen: Chosen) -> Result<Chosen, PullError> {
    let systems = [&chosen.platform.os, &chosen.config.os];
    if !systems.into_iter().any(|os| os.eq_ignore_ascii_case("windows")) {
        return Ok(chosen);
    }
    Err(PullError::NotAnImage {
        what: format!("manifest {}", chosen.digest),
        reason: "it is an image for Windows, and banger builds Linux root file systems".to_owned(),
    })
}

/// Returns whether the digests differ.
fn differ(candidates: &[Candidate]) -> bool {
    candidates.windows(2).any(|pair| pair[0].descriptor.digest != pair[1].descriptor.digest)
}

/// Leaves the images of the best platform, for each set of names: entries with other names are other
/// images, however well their platforms fit.
fn best_of_each_name(candidates: &[Candidate]) -> Vec<Candidate> {
    let mut best: HashMap<&[String], u32> = HashMap::new();
    for candidate in candidates {
        let rank = best.entry(&candidate.names).or_insert(candidate.rank);
        *rank = candidate.rank.max(*rank);
    }
    let is_best = |candidate: &&Candidate| best.get(&candidate.names[..]) == Some(&candidate.rank);
    candidates.iter().filter(is_best).cloned().collect()
}
