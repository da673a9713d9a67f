-- currencies: those that Stripe transfers (docs.stripe.com/currencies), with their minor digits.

insert into payout.currencies (currency, minor_digits)
select c.currency, 2
from unnest(string_to_array(
    'aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad '
    'cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl '
    'htg huf ils inr jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur '
    'mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd '
    'scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd yer '
    'zar zmw', ' ')) as c (currency)
on conflict do nothing;

insert into payout.currencies (currency, minor_digits)
select c.currency, 0
from unnest(string_to_array(
    'bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf', ' ')) as c (currency)
on conflict do nothing;

insert into payout.currencies (currency, minor_digits, amount_step, largest_amount_minor) values
    ('bhd', 3, 10, 99999999),
    ('jod', 3, 10, 99999999),
    ('kwd', 3, 10, 99999999),
    ('omr', 3, 10, 99999999),
    ('tnd', 3, 10, 99999999),
    ('isk', 2, 100, 99999999),
    ('ugx', 2, 100, 99999999),
    ('idr', 2, 1, 999999999999)
on conflict do nothing;
