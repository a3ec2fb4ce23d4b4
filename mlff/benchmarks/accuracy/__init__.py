"""Accuracy of models under one budget: runs in processes of their own, a row each, tables and a picture of them."""
