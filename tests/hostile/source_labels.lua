-- Thousands of labels, which the parser compares with one another.
-- load: time|steps|ok|syntax
-- call: ok
do
--@ repeat 20000 ::l%d::
end
return function() end
