//! The server as clients, browsers and attackers meet it, in one process and by a clock of its own.

mod attacks;
mod clients;
mod flows;
mod nodes;
mod proofs;
mod providers;
mod statements;
mod upstream;
mod verified;
mod world;
