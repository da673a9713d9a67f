-- currencies: those that Stripe transfers (docs.stripe.com/currencies), with their minor digits.
--
-- A currency that is no longer used stays, for the books that have it. Amounts have no limit but
-- bigint: eight digits are Stripe's limit for charges, none is documented for transfers.

insert into payout.currencies (currency, minor_digits)
select c.currency, 2
from unnest(string_to_array(
    'aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad '
    'cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl '
    'htg huf idr ils inr jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur '
    'mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd '
    'scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd xcg '
    'yer zar zmw', ' ')) as c (currency)
on conflict do nothing;

insert into payout.currencies (currency, minor_digits)
select c.currency, 0
from unnest(string_to_array(
    'bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf', ' ')) as c (currency)
on conflict do nothing;

insert into payout.currencies (currency, minor_digits, amount_step) values
    ('bhd', 3, 10),
    ('jod', 3, 10),
    ('kwd', 3, 10),
    ('omr', 3, 10),
    ('tnd', 3, 10),
    ('isk', 2, 100),
    ('ugx', 2, 100)
on conflict do nothing;
