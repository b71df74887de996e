"""DistilHuBERT: a small student learns to predict several layers of a frozen teacher."""
