"""The SMART app for providers: a launch from the EHR, a form that fills itself, and the request for authorization."""
