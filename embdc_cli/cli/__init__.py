"""The command line: parse, call the library, print. `app` starts it, `console` is the only place that prints."""
