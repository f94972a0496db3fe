//! Request facts → the route that matches. Pure: no IO, no clock.
