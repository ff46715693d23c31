"""An alert becomes an Incident; routing says which live version answers it; recurrence counts what did not help."""
