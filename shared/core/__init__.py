"""What every floor above needs: errors, settings, JSON, deadlines, events and HTTP."""
