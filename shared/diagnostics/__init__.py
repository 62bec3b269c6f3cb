"""The diagnostics: checks from the settings to the link, which show why there is no link."""
