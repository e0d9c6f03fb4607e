//! The Model Context Protocol as data: model, codecs and the exchange.
