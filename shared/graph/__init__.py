"""Microsoft Graph: what is asked, how it is sent, what its answers mean."""
