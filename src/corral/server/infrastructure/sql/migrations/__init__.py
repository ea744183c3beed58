"""Alembic's home. Each file in versions/ is one step; database revisions are named 0001, 0002, …"""
