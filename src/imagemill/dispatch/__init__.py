"""How idle slots hear of work, each way behind `imagemill.dispatch.base.Dispatcher`."""
