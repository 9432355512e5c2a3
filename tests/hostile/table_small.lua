-- Many small tables that all live.
-- load: ok
-- call: steps|memory|time
return function() local t = {} while true do t = { t } end end
