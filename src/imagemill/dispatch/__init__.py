"""Wake-ups of idle slots: in this process, or over a broker; each behind
`imagemill.dispatch.base.Dispatcher`."""
