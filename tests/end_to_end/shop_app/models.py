"""The models of the shop, as they would be without payouts."""

from __future__ import annotations

from django.db import models


class Seller(models.Model):
    """A seller; the account is an empty text until there is one."""

    seller_id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=200)
    stripe_account_id = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        db_table = "sellers"


class Order(models.Model):
    """An order."""

    order_id = models.BigAutoField(primary_key=True)
    buyer_email = models.EmailField()
    address = models.TextField(blank=True, default="")
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=20, default="open")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "orders"


class OrderItem(models.Model):
    """An item of an order; without a seller it is the shop's own."""

    item_id = models.BigAutoField(primary_key=True)
    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, null=True)
    title = models.CharField(max_length=200)
    price_minor = models.IntegerField()
    share_minor = models.IntegerField()

    class Meta:
        db_table = "order_items"
