"""Who a client is: what tokens of an identity provider prove."""
