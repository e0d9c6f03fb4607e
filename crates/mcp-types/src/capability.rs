//! Capabilities of extensions, typed.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ClientCapabilities, DecodeError, RawText, ServerCapabilities};

/// What one side declares for an extension: its settings, an object (specification, "Extensions").
///
/// ```
/// use mcp_types::{ExtensionCapability, ServerCapabilities};
/// use serde::{Deserialize, Serialize};
///
/// /// This server translates.
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Translation {
///     languages: Vec<String>,
/// }
///
/// impl ExtensionCapability for Translation {
///     const ID: &'static str = "com.example/translation";
/// }
///
/// let mut capabilities = ServerCapabilities::new();
/// assert_eq!(capabilities.extension::<Translation>()?, None);
/// let settings = Translation { languages: vec!["de".into()] };
/// capabilities.declare_extension(&settings)?;
/// assert_eq!(capabilities.extension::<Translation>()?, Some(settings));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ExtensionCapability: Serialize + DeserializeOwned {
    /// The extension's id: a reversed domain name, a slash, a name.
    const ID: &'static str;
}

macro_rules! extensions {
    ($($capabilities:ident)*) => {$(
        impl $capabilities {
            /// What is declared for the extension `E`; `None` when it is not declared.
            ///
            /// # Errors
            ///
            /// It is declared in another form than `E` has.
            pub fn extension<E: ExtensionCapability>(&self) -> Result<Option<E>, DecodeError> {
                let declared = self.extensions.as_ref().and_then(|all| all.get(E::ID));
                let read = declared.map(|text| text.parse().map_err(|error| error.within(E::ID)));
                read.transpose()
            }

            /// Declares the extension `E`, in place of an earlier declaration.
            ///
            /// # Errors
            ///
            /// The settings have no JSON form, or one that is no object.
            pub fn declare_extension<E: ExtensionCapability>(
                &mut self,
                settings: &E,
            ) -> Result<(), serde_json::Error> {
                let text = settings_of(settings)?;
                self.extensions.get_or_insert_default().insert(E::ID.to_owned(), text);
                Ok(())
            }
        }
    )*};
}

extensions! { ServerCapabilities ClientCapabilities }

fn settings_of<E: ExtensionCapability>(settings: &E) -> Result<RawText, serde_json::Error> {
    use serde::ser::Error as _;
    let text = RawText::of(settings)?;
    if text.is_object() {
        return Ok(text);
    }
    Err(serde_json::Error::custom(format!("the settings of `{}` must be an object", E::ID)))
}
