"""Networks that come from elsewhere, or go there: weights, a card, a probe."""
