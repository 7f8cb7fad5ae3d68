"""Pure decisions: values in, values out, time passed in. Imports no trio, socket or ssl."""
