//! What reading a policy file needs around it: the template language, and a made-up host to
//! try templates on.

use std::sync::Arc;

use minijinja::Environment;
use model::facts::Facts;

use crate::param::Params;
use crate::sample;
use crate::template::{self, Renderer, TemplateFiles, Touched};
use crate::vocabulary::Context;

pub(crate) struct Reading<'a> {
    env: Environment<'static>,
    facts: Arc<Facts>,
    pub(crate) templates: &'a Arc<TemplateFiles>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(templates: &'a Arc<TemplateFiles>) -> Self {
        Self {
            env: template::environment(templates),
            facts: Arc::new(sample::host("debian", "12")),
            templates,
        }
    }

    /// Renders with a sample of each parameter.
    pub(crate) fn sample(&self, params: &Params) -> Renderer<'_> {
        let values = params
            .iter()
            .map(|(name, param)| (name.clone(), param.sample().to_template()))
            .collect();
        let touched = Touched::default();
        Renderer {
            env: &self.env,
            context: Context::value(&self.facts, values, &touched),
            touched,
        }
    }
}
