//! Signals that travel through the URL of a handle: whom they tell, and that they can do without credentials.
//!
//! A host may have nothing but the URL. Then region and stack are those that it names. Configuration comes first; the metadata service is
//! not asked for the stack, because its tag may appear later, and another stack would be another signal. What nobody names is
//! [`Target::UNNAMED`], so that the UniqueId of this host stays the same: it is made of instance, resource and name of the signal too.

use super::{Core, NoteLevel, UNRESOLVED};
use crate::clock::BootMs;
use crate::plan::{HandleSource, Name, Signal, Transport};
use crate::signal::{Place, Target};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a file that cannot be read yet is looked at again.
const RECHECK_MS: BootMs = 5_000;

/// What the URL of each signal tells, or why it cannot be read.
pub type Places = BTreeMap<Name, Result<Place, String>>;

impl Core {
    /// The files and credentials of the plan's handles were read.
    pub(super) fn handles_read(&mut self, places: Places) {
        let news: Vec<_> = places.iter().filter(|(name, place)| self.handles.get(*name) != Some(*place)).collect();
        let complaints = news.into_iter().filter_map(|(name, place)| {
            let why = place.as_ref().map_or_else(|why| Some(why.clone()), |place| self.of_another_handle(name, place))?;
            Some((Arc::clone(name), why))
        });
        for (name, why) in complaints.collect::<Vec<_>>() {
            self.note_signal(&name, NoteLevel::Warn, why);
        }
        if self.handles != places {
            self.handles = places;
            if self.identity.known.is_some() {
                self.fit_plan();
            }
        }
    }

    /// A URL leads where it leads, whatever `resource` says; only when it is fetched anew, and when it is looked what became of the signal, is
    /// `resource` asked for.
    fn of_another_handle(&self, name: &Name, place: &Place) -> Option<String> {
        let meant = &self.plan.signal(name)?.resource;
        let found = place.resource.as_ref().filter(|found| *found != meant)?;
        Some(format!(
            "the URL is that of the handle {found}, and `resource` says {meant}; hint: write resource = \"{found}\", or the URL of {meant}"
        ))
    }

    /// Whom a signal tells whose URL comes from a file or credential; none while that, or this host, is not known.
    pub(super) fn handle_target(&self, signal: &Signal) -> Option<Target> {
        let identity = self.identity.known.as_ref()?;
        let place = match (&signal.stack_id, &signal.region) {
            (Some(_), Some(_)) => Place::default(),
            _ => self.handles.get(&signal.name)?.clone().ok()?,
        };
        let stack_id = signal.stack_id.clone().or(place.stack_id).unwrap_or_else(|| Target::UNNAMED.to_owned());
        // A metadata service that says who this is, but not where, will say it later.
        let asked = || match (&identity.region, &self.plan.instance.id) {
            (Some(region), _) => Some(region.clone()),
            (None, Some(_)) => Some(Target::UNNAMED.to_owned()),
            (None, None) => None,
        };
        let region = signal.region.clone().or(place.region).or_else(asked)?;
        Some(Target { region, stack_id, resource: signal.resource.clone() })
    }

    /// Whether the signal called `name` goes out without credentials.
    pub(super) fn needs_no_credentials(&self, name: &str) -> bool {
        self.plan.signal(name).is_some_and(|signal| matches!(signal.transport, Transport::Handle(_)))
    }

    /// Why the target of a signal is not known, and what to do.
    pub(super) fn why_unresolved(&self, name: &str) -> String {
        match self.handles.get(name) {
            Some(Err(why)) => why.clone(),
            _ => UNRESOLVED.to_owned(),
        }
    }

    /// When to ask again for what is not known: a file can come any moment.
    pub(super) fn target_recheck(&self) -> BootMs {
        let waits = |name: &Name| matches!(self.handles.get(name), Some(Err(_)));
        if self.unresolved().iter().any(waits) { RECHECK_MS } else { super::identity::TARGET_RECHECK_MS }
    }
}

/// Whether the document of this transport lies on this host.
pub(super) fn is_local(transport: &Transport) -> bool {
    matches!(transport, Transport::Handle(HandleSource::File(_) | HandleSource::SystemdCredential(_)))
}
