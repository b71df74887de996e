"""DistilHuBERT: two transformer layers that predict several layers of HuBERT."""
