"""The checks that tell why there is no link, from the settings to the link itself."""
