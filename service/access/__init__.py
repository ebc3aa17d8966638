"""Who is calling: registered clients by signed JWT or access token, or the demo's own machine."""
