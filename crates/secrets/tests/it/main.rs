//! The library against real servers: a module for each part of what it promises.

mod chaos;
mod logins;
